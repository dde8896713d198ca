"""The project's Streamlit settings keep the pages whole."""

from __future__ import annotations

import plotly.graph_objects as go
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import create_reference_msg, populate_hash_if_needed
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

FRAGMENT, COLUMN = "a fragment", [0, 3]


def chart(points: int) -> ForwardMsg:
    """Returns the message that shows a chart in a column of a fragment."""
    message = ForwardMsg()
    message.delta.new_element.plotly_chart.spec = go.Figure(
        go.Scatter(x=list(range(points)), y=list(range(points)))
    ).to_json()
    message.delta.fragment_id = FRAGMENT
    message.metadata.delta_path[:] = [*COLUMN, 0]
    return message


def as_sent_again(message: ForwardMsg) -> ForwardMsg:
    """Returns what Streamlit sends of a message to a browser that has seen it before."""
    populate_hash_if_needed(message)
    return create_reference_msg(message) if message.metadata.cacheable else message


def test_no_chart_comes_without_its_container():
    """A press of a button may start a fragment again while its messages still wait."""
    queue, column = ForwardMsgQueue(), ForwardMsg()
    column.delta.add_block.column.weight = 1
    column.delta.fragment_id = FRAGMENT
    column.metadata.delta_path[:] = COLUMN
    queue.enqueue(column)
    queue.enqueue(as_sent_again(chart(5000)))
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=[FRAGMENT])
    assert queue.is_empty()  # or the browser gets a chart for a column that it does not have
