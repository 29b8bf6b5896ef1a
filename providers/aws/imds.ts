import { request } from 'node:http';

/** What the instance on which we run knows of itself (instance metadata service, version 2). */
export interface InstanceIdentity {
  readonly region: string;
  readonly vpcId: string;
}
export interface ImdsOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Per request. Default 1000: the service is on the same host, and a packet to it goes nowhere outside of EC2. */
  readonly timeoutMs?: number;
}

const TOKEN_SECONDS = '300';
const TRIES = 3;

/**
 * Asks for region and VPC. Rejects with an Error that says why there is no answer: no instance, a pod behind too small a
 * hop limit, a service that is turned off.
 */
export async function identify(options: ImdsOptions): Promise<InstanceIdentity> {
  const { env } = options;
  if (env['AWS_EC2_METADATA_DISABLED']?.toLowerCase() === 'true') {
    throw new Error('the instance metadata service is turned off by AWS_EC2_METADATA_DISABLED');
  }
  const base = baseOf(env);
  const token = await tried(() =>
    ask(new URL('/latest/api/token', base), options, 'PUT', {
      'x-aws-ec2-metadata-token-ttl-seconds': TOKEN_SECONDS,
    }),
  );
  const read = async (path: string): Promise<string> =>
    await tried(() =>
      ask(new URL(`/latest/meta-data/${path}`, base), options, 'GET', { 'x-aws-ec2-metadata-token': token }),
    );
  const [region, mac] = await Promise.all([read('placement/region'), read('mac')]);
  const vpcId = await read(`network/interfaces/macs/${mac}/vpc-id`);
  if (!/^vpc-/.test(vpcId))
    throw new Error(`the instance metadata service names no VPC but ${JSON.stringify(vpcId.slice(0, 40))}`);
  return { region, vpcId };
}

function baseOf(env: ImdsOptions['env']): string {
  const given = env['AWS_EC2_METADATA_SERVICE_ENDPOINT'];
  if (given !== undefined && given !== '') return given;
  return env['AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE']?.toLowerCase() === 'ipv6'
    ? 'http://[fd00:ec2::254]'
    : 'http://169.254.169.254';
}

/** A packet more or less is lost while a host starts. What it refuses stays refused. */
async function tried(send: () => Promise<string>): Promise<string> {
  for (let left = TRIES - 1; ; left -= 1) {
    try {
      return await send();
    } catch (error) {
      if (left === 0 || !(error as { readonly transient?: true }).transient) throw error;
    }
  }
}

async function ask(
  url: URL,
  { signal, timeoutMs = 1000 }: ImdsOptions,
  method: 'GET' | 'PUT',
  headers: Readonly<Record<string, string>>,
): Promise<string> {
  return await new Promise((resolve, reject) => {
    const fail = (message: string) =>
      reject(Object.assign(new Error(`${method} ${url}: ${message}`), { transient: true as const }));
    const sent = request(url, { method, headers, signal, timeout: timeoutMs, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('error', ({ message }) => fail(message));
      response.on('end', () => {
        if (response.statusCode === 200) resolve(text.trim());
        else if ((response.statusCode ?? 0) >= 500) fail(`HTTP ${response.statusCode}`);
        else reject(new Error(`${method} ${url}: HTTP ${response.statusCode}`));
      });
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    sent.on('error', ({ message }) => (signal.aborted ? reject(signal.reason as Error) : fail(message)));
    sent.end();
  });
}
