"""What a page is made of, as Dash components; the numbers arrive by push."""
