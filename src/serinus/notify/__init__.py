"""Those who are told of events: webhooks, people by Apprise, servers that take OpenLineage."""
