"""What a learner sees in a notebook. Each widget is a class, an ES module and a style sheet side by side: NAME.py, NAME.js, NAME.css.

View state is a pure function of objects (``*_view.py``) and travels in synced traits; messages carry commands only. Nothing is fetched
from the network; every CSS rule is prefixed with ``halab-``.
"""
