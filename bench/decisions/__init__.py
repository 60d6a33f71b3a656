"""What decision rules do to canaries: how often they are wrong, how long they take, and what that costs."""
