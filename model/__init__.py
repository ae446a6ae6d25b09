"""One speaker-attributed, time-stamped transcription model; published systems are its presets."""

from talkover.manifests.torchaudio_guard import guard_when_imported

# transformers and peft import torchaudio, which must not fail beside a CPU build of torch.
guard_when_imported()
