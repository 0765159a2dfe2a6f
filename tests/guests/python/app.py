"""Greets, or says how long the request's body is: a `wasi:http` 0.2 component made by componentize-py."""

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)


def body_length(request: IncomingRequest) -> int:
    """Reads the whole body and counts its bytes."""
    length = 0
    with request.consume() as body, body.stream() as stream:
        while True:
            try:
                length += len(stream.blocking_read(64 * 1024))
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return length
                raise


class IncomingHandler(exports.IncomingHandler):
    """The export that the node calls for each request."""

    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        """Answers one request."""
        length = body_length(request)
        text = f"Hello from Python, {length} bytes\n".encode()
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(text)
        OutgoingBody.finish(body, None)
