"""How good an annotation is: truth that is known, or labelled by people, against what was said."""
