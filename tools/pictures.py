"""The widgets' pictures for the docs, light and dark, into docs/images/ (``make screenshots``): small PNGs from fixed states, so that they change only with the looks.

python tools/pictures.py [NAME ...] [--out docs/images]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from browser import chromium
from stage import staged
from widget_states import states

ROOT = Path(__file__).resolve().parent.parent
# name, theme, width and size of text in pixels; a teacher raises JupyterLab's size of text for those in the last row
LOOKS = (("light", "light", 760, 14), ("dark", "dark", 760, 14), ("projector", "light", 1240, 22))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    (options.out / "projector").mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for name in options.names or states():
            for look, theme, width, size in LOOKS:
                widget, data = states()[name]  # anew, as a countdown in it runs
                page = staged(browser, widget, data, theme, width, size)
                page.wait_for_timeout(300)  # charts and edges are drawn a few frames later; nothing announces that
                page.locator(".halab-widget").screenshot(
                    path=(options.out if look != "projector" else options.out / "projector") / f"{name}-{look}.png"
                )
                page.context.close()
            print(name, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
