"""Raw data as instruments write them, from a sample's hidden truth: pure functions of the truth and of a random generator."""
