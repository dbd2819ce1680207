"""Detects whether an account is in single-asset or multi-assets mode.

The sources, the most reliable first: the configuration; an isolated position, which proves single-asset mode; v1
``account.status``, requested before the first snapshot, hourly, and when the totals stop agreeing with it; the totals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.account.asset_mode import AssetMode, infer_mode_from_totals, proves_single_mode

if TYPE_CHECKING:
    from exporter.account.background_query import BackgroundQuery
    from exporter.account.queries import Reading
    from exporter.account.state import AccountState
    from exporter.binance.configuration import AccountConfiguration
    from exporter.binance.rows import AccountStatus

_MAX_DISAGREEMENTS: Final = 3


class AssetModeDetector:
    """Detects one account's asset mode.

    Args:
        state: the account's state, for its settings.
        configuration: requests v1 ``account.status``.
    """

    def __init__(self, state: AccountState, configuration: BackgroundQuery[AccountConfiguration]) -> None:
        self._state = state
        self._configuration = configuration
        self._reading: Reading[AccountConfiguration] | None = None  # the one that `_reported_mode` is from
        self._reported_mode: AssetMode | None = None
        self._has_detected = False
        self._totals_agree = False
        self._disagreements = 0  # polls in a row in which v1 did not resolve a disagreement

    async def detect(self, status: AccountStatus, deadline: float) -> AssetMode:
        """Return the asset mode of the account that `status` describes; `deadline` is in monotonic seconds."""
        if self._state.settings.asset_mode:
            return self._state.settings.asset_mode
        if not self._has_detected:
            await self._configuration.wait()  # or the labels of the first snapshot might be others than the next ones'
            self._has_detected = True
        self._read()
        if proves_single_mode(status):
            if self._reported_mode is AssetMode.MULTI:  # disproved
                self._reported_mode = None
                self._configuration.reject()
            return AssetMode.SINGLE
        inferred = infer_mode_from_totals(status)
        if self._reported_mode and self._totals_agree and inferred is not self._reported_mode:
            # The account may have been switched. Until v1 confirms it, the totals keep disagreeing.
            await self._configuration.request(deadline)
            self._read()
            if not self._configuration.answered and self._reported_mode and self._disagreements < _MAX_DISAGREEMENTS:
                self._disagreements += 1
                return self._reported_mode
            if not self._configuration.answered:
                self._reported_mode = None
        self._disagreements = 0
        self._totals_agree = inferred is self._reported_mode
        return self._reported_mode or inferred

    def _read(self) -> None:
        """Take over the mode that v1 has reported since; None if the exchange no longer offers v1."""
        if self._configuration.reading is not self._reading:
            self._reading = self._configuration.reading
            is_multi = self._reading and self._reading.result.multi_assets
            self._reported_mode = None if is_multi is None else AssetMode.MULTI if is_multi else AssetMode.SINGLE
