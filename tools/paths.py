"""Where the project's files are."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
CHART: Final = ROOT / "helm" / "binance-futures-exporter"
HELM: Final = ROOT / "tools" / "bin" / "helm-4"
