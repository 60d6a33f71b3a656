"""The live board: in this process, or in Redis for any number of gateways."""
