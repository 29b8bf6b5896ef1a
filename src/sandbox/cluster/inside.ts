/**
 * Programs that run inside namespaces of the sandbox, each in a Node process of its own. They are given as text, so that
 * the bundle needs no further files: nothing outside the function may be used in it.
 */
export const programOf = (program: () => Promise<void>): string => `(${program.toString()})()`;

/**
 * What every container of a sandbox pod runs. PORTS is a JSON list of `{port, protocol}`; each answers, over HTTP or to a
 * datagram, with one line: NAME, then the address of whom it sees. SIGTERM: it goes on for DRAIN_MS, as a well-behaved
 * server does while the proxies forget it, and then ends. Prints `ready`.
 */
export async function podServer(): Promise<void> {
  const { createServer } = await import('node:http');
  const { createSocket } = await import('node:dgram');
  const { NAME = '', PORTS = '[]', DRAIN_MS = '0' } = process.env;
  const seen = (address: string | undefined): string => (address ?? '').replace(/^::ffff:/, '');
  const ports = JSON.parse(PORTS) as readonly { readonly port: number; readonly protocol: string }[];
  const servers = ports.map(
    ({ port, protocol }) =>
      new Promise<void>((resolve, reject) => {
        if (protocol === 'UDP') {
          const socket = createSocket({ type: 'udp6', ipv6Only: false });
          socket.on('message', (_, { address, port: from }) =>
            socket.send(`${NAME} ${seen(address)}\n`, from, address),
          );
          socket.once('error', reject);
          socket.bind(port, resolve);
          return;
        }
        const server = createServer((request, response) => {
          response.setHeader('connection', 'close');
          response.end(`${NAME} ${seen(request.socket.remoteAddress)}\n`);
        });
        server.once('error', reject);
        server.listen(port, resolve);
      }),
  );
  process.on('SIGTERM', () => setTimeout(() => process.exit(0), Number(DRAIN_MS)));
  await Promise.all(servers);
  process.stdout.write('ready\n');
}

/**
 * Asks from where it runs: a JSON line `{id, address, port, protocol, timeoutMs}` on standard input, a JSON line
 * `{id, text}` or `{id, error}` on standard output. Each question is a connection of its own.
 */
export async function asker(): Promise<void> {
  const { get } = await import('node:http');
  const { createSocket } = await import('node:dgram');
  const { createInterface } = await import('node:readline');
  interface Question {
    readonly id: number;
    readonly address: string;
    readonly port: number;
    readonly protocol: string;
    readonly timeoutMs: number;
  }
  const overHttp = ({ address: host, port, timeoutMs }: Question): Promise<string> =>
    new Promise((resolve, reject) => {
      const request = get({ host, port, path: '/', agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('end', () => done(() => resolve(text)));
        response.once('error', (error) => done(() => reject(error)));
      });
      const timer = setTimeout(
        () => request.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })),
        timeoutMs,
      );
      const done = (end: () => void): void => {
        clearTimeout(timer);
        end();
      };
      request.once('error', (error) => done(() => reject(error)));
    });
  const overUdp = ({ address, port, timeoutMs }: Question): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
      const timer = setTimeout(
        () => done(() => reject(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' }))),
        timeoutMs,
      );
      const done = (end: () => void): void => {
        clearTimeout(timer);
        socket.close();
        end();
      };
      socket.once('message', (data) => done(() => resolve(data.toString())));
      socket.once('error', (error) => done(() => reject(error)));
      // A connected socket hears of refusals.
      socket.connect(port, address, () => socket.send('?'));
    });
  for await (const line of createInterface({ input: process.stdin })) {
    const question = JSON.parse(line) as Question;
    const answer = question.protocol === 'UDP' ? overUdp(question) : overHttp(question);
    void answer.then(
      (text) => process.stdout.write(`${JSON.stringify({ id: question.id, text: text.trim() })}\n`),
      (error: NodeJS.ErrnoException) =>
        process.stdout.write(`${JSON.stringify({ id: question.id, error: error.code ?? error.message })}\n`),
    );
  }
}
