import { Readable } from 'node:stream';
import type { Transport, TransportRequest, TransportResponse } from '../../kube/request.ts';

/** Answers one request; rejects only where a connection would break (faults.ts). */
export type Handler = (request: TransportRequest) => Promise<TransportResponse>;

/**
 * A client's connection to the sandbox without a socket: the same requests and answers, in the same order, in one
 * process. Aborting a request rejects it, or breaks its body, as a closed socket would.
 */
export function inProcess(handle: Handler): Transport {
  return {
    async send(request) {
      request.signal.throwIfAborted();
      const response = await raced(handle(request), request.signal);
      response.body.setEncoding('utf8'); // the contract of a transport: text, whatever way it is cut
      const abort = (): void => {
        response.body.destroy(request.signal.reason as Error);
      };
      request.signal.addEventListener('abort', abort, { once: true });
      response.body.once('close', () => request.signal.removeEventListener('abort', abort));
      return response;
    },
    close() {},
  };
}

/** A whole answer: a body of one text, which an HTTP server may send at once. */
export class TextBody extends Readable {
  readonly text: Buffer;

  constructor(text: string) {
    super();
    this.text = Buffer.from(text);
  }
  override _read(): void {
    this.push(this.text);
    this.push(null);
  }
}

export const bodyOf = (text: string): Readable => new TextBody(text);

function raced<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
