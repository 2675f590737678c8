"""Tests; the fakes and the model are imported from here."""
