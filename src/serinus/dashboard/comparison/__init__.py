"""What the page Model comparison shows; ``charts`` and ``words`` are pure: documents in, what is shown out."""
