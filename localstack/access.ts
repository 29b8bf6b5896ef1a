/** Where the API is and who asks. */
export interface Access {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** Region and credentials of the environment; else us-east-1 and 'test', which stand-ins take. */
export function accessTo(endpoint: string, env: Readonly<Record<string, string | undefined>>): Access {
  return {
    endpoint,
    region: env['AWS_REGION'] || env['AWS_DEFAULT_REGION'] || 'us-east-1',
    accessKeyId: env['AWS_ACCESS_KEY_ID'] || 'test',
    secretAccessKey: env['AWS_SECRET_ACCESS_KEY'] || 'test',
    sessionToken: env['AWS_SESSION_TOKEN'] || undefined,
  };
}
