"""The rows of all installations as metrics: an installation that does not answer has no figures."""

from __future__ import annotations

from stream.fleet.exposition import exposition
from stream.fleet.rows import row, silent
from tests.unit.fleet.test_rows import document


def test_each_installation_has_its_figures_and_a_silent_one_only_says_so() -> None:
    text = exposition([row("eu-1", document("fresh")), silent("us-1", "no answer")]).decode()
    assert 'scorestream_installation_up{installation="eu-1"} 1.0' in text
    assert 'scorestream_installation_up{installation="us-1"} 0.0' in text
    assert 'scorestream_installation_needs_operator{installation="us-1"} 1.0' in text
    assert 'scorestream_installation_freshness_seconds{installation="eu-1"} 0.0' in text
    assert 'scorestream_installation_freshness_seconds{installation="us-1"}' not in text
    assert 'scorestream_installation_workers{installation="eu-1"} 1.0' in text
