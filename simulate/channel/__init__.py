"""What happens to the mixture after the microphones: responses, bands, codecs, losses, clocks."""
