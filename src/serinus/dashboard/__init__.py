"""The dashboard: four pages in a browser, which see a server through its API alone.

``launching`` starts Streamlit on ``entry/start.py``, ``app`` knows the pages. A page is a script in ``pages``: it opens
with ``frame.opened``, which draws the heading and the choice of a deployment, and reads within ``states.told``, which
shows a failure as a state of the page. What is redrawn every second is a fragment.
"""
