"""Commands of the data contract: each parses, calls one library function and prints."""
