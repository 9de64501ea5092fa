"""How a Python function presents itself on the command line."""

from dsync.connector import ConnectorSpec

SPEC = ConnectorSpec(
    name="python",
    summary="A Python function that changes documents on their way: def f(namespace, document, id).",
    examples=("python:package.module:function", "python:shop:anonymous"),
    factory="",
    transform="dsync.transform.python:PythonTransform",
    source=False,
    sink=False,
    uri_options=False,
)
