"""Which drafts to learn from: by the drafter's rank and win rate, the event's wins, and the date.

    filters = DraftFilter(min_rank="platinum", since="2024-11-14")
    picks, manifest = prepare(source, cache, filters)     # training.dataset
    picks = read_drafts(source, filters)                  # training.seventeenlands

A recipe has them as a table `[filters]`, whose keys are the fields below; `DraftFilter(**table)`
checks them. `drops` gives polars expressions, so that a piece of a file is judged at once.

A file does not always say what is asked: 17Lands leaves out the rank and the win rate of drafters
it knows too little of, simulated drafts have no win rate, and old ones no date. Such a draft is
kept unless `keep_unknown` is false, or files without a column would have no drafts at all.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

RANKS = ("bronze", "silver", "gold", "platinum", "diamond", "mythic")
"""Magic Arena's, from the lowest."""

FILTER_COLUMNS = ("rank", "user_game_win_rate_bucket", "event_match_wins", "draft_time")
"""What is looked at, read as text."""

FILTER_REASONS = {
    "filter_rank": "the drafter's rank is below the minimum",
    "filter_win_rate": "the drafter's win rate is below the minimum",
    "filter_wins": "the event has fewer wins than the minimum",
    "filter_date": "drafted outside the date window",
}
"""Why a row that could be used is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFilter:
    """Drafts to keep. Raises ValueError for values no draft could be compared with.

    The defaults keep drafters who know what they do (published models of 17Lands data ask for gold
    or platinum and a win rate of 55 %), and ask nothing of the event's result: drafts that ended
    badly teach the value head, and a single result is mostly luck.
    """

    min_rank: str = "gold"
    """Lowest rank, one of `RANKS`; `bronze` keeps all."""
    min_win_rate: float = 0.55
    """Lowest `user_game_win_rate_bucket` (17Lands rounds to 0.02), 0 to 1; 0 keeps all."""
    min_wins: int = 0
    """Fewest match wins of the event; a trophy is 7 (PremierDraft) or 3 (TradDraft)."""
    since: str = ""
    """First day, `YYYY-MM-DD`; empty for no bound."""
    until: str = ""
    """Last day, that day included."""
    keep_unknown: bool = True
    """Keep drafts of which the file does not say what is asked."""

    def __post_init__(self) -> None:
        if self.min_rank not in RANKS:
            raise ValueError(f"min_rank must be one of {', '.join(RANKS)}, not {self.min_rank!r}")
        if not 0.0 <= self.min_win_rate <= 1.0:
            raise ValueError(f"min_win_rate must be in [0, 1], not {self.min_win_rate}")
        if self.min_wins < 0:
            raise ValueError(f"min_wins must not be negative, but is {self.min_wins}")
        for name in ("since", "until"):
            # TOML has dates of its own; what is kept is the text, which goes into manifests.
            object.__setattr__(self, name, _day(name, getattr(self, name)))
        if self.since and self.until and self.since > self.until:
            raise ValueError(f"since ({self.since}) is after until ({self.until})")

    @classmethod
    def none(cls) -> DraftFilter:
        """Keeps every draft."""
        return cls(min_rank=RANKS[0], min_win_rate=0.0)

    def drops(self, columns: Collection[str]) -> dict[str, pl.Expr]:
        """For each of `FILTER_REASONS` in use, true for the rows it leaves out; never null.

        `columns` are those the frame has, of `FILTER_COLUMNS`, as text. A condition that nothing
        can fail has no entry.
        """

        def text(column: str) -> pl.Expr:
            return pl.col(column) if column in columns else pl.lit(None, pl.String)

        tests: dict[str, pl.Expr] = {}
        if self.min_rank != RANKS[0]:
            # Some files write the tier too: Gold-3.
            rank = text("rank").str.to_lowercase().str.extract(r"^\s*([a-z]+)")
            level = rank.replace_strict(
                RANKS, range(len(RANKS)), default=None, return_dtype=pl.Int8
            )
            tests["filter_rank"] = level < RANKS.index(self.min_rank)
        if self.min_win_rate > 0:
            rate = text("user_game_win_rate_bucket").cast(pl.Float64, strict=False)
            tests["filter_win_rate"] = rate.fill_nan(None) < self.min_win_rate
        if self.min_wins > 0:
            wins = text("event_match_wins").cast(pl.Float64, strict=False)
            tests["filter_wins"] = wins.fill_nan(None) < self.min_wins
        if self.since or self.until:
            # ISO dates compare as texts do; "2024-11-14 18:02:11" begins with its day.
            day = text("draft_time").str.extract(r"^\s*(\d{4}-\d{2}-\d{2})")
            outside = day < (self.since or "0000")
            tests["filter_date"] = outside | (day > self.until) if self.until else outside
        return {reason: test.fill_null(not self.keep_unknown) for reason, test in tests.items()}

    def matches(self, frame: pl.DataFrame) -> pl.Series:
        """True for each row of a frame of `FILTER_COLUMNS` (as text) that is kept."""
        dropped = self.drops(frame.columns)
        if not dropped:
            return pl.Series("matches", [True]).new_from_index(0, frame.height)
        return frame.select(matches=~pl.any_horizontal(dropped.values())).to_series()


def _day(name: str, value: object) -> str:
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    try:
        text = str(value)
        return text and datetime.datetime.strptime(text, "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise ValueError(f"{name} must be a date such as 2024-11-14, not {value!r}") from None
