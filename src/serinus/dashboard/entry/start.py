"""The script that Streamlit runs.

It stands in a folder of its own: beside a folder ``pages`` Streamlit would make a navigation of its own out of that.
"""

from serinus.dashboard import app

app.show()
