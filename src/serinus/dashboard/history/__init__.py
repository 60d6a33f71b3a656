"""What the page Deployment history shows: ``reading`` asks for events, ``words`` says them, ``exports`` writes them."""
