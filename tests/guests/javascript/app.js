// Greets, or says how long the request's body is: a `wasi:http` 0.2 component made by jco's componentize.

import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.12";

/** Reads the whole body and counts its bytes. */
function bodyLength(request) {
  const body = request.consume();
  const stream = body.stream();
  let length = 0;
  for (;;) {
    try {
      length += stream.blockingRead(65536n).length;
    } catch (error) {
      if (error.payload?.tag === "closed") break;
      throw error;
    }
  }
  stream[Symbol.dispose]();
  body[Symbol.dispose]();
  return length;
}

/** The export that the node calls for each request. */
export const incomingHandler = {
  handle(request, responseOut) {
    const length = bodyLength(request);
    const text = new TextEncoder().encode(`Hello from JavaScript, ${length} bytes\n`);
    const headers = Fields.fromList([["content-type", new TextEncoder().encode("text/plain")]]);
    const response = new OutgoingResponse(headers);
    const body = response.body();
    ResponseOutparam.set(responseOut, { tag: "ok", val: response });
    const stream = body.write();
    stream.blockingWriteAndFlush(text);
    stream[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};
