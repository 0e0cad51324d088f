"""For those who test on the platform: fakes, conformance and torture grow here."""
