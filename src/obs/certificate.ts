import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { failure } from '../core/errors.ts';
import type { Log } from '../core/provider.ts';
import type { Timers } from '../work/clock.ts';

export interface Files {
  readonly certFile: string;
  readonly keyFile: string;
  /** The flags that errors name. Default --tls-cert-file and --tls-private-key-file. */
  readonly flags?: readonly [cert: string, key: string];
}
/** PEM texts that belong together. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Files are compared, not watched: a mounted Secret is swapped by links that file watchers miss. */
const LOOK_MS = 10_000;

const FLAGS = ['--tls-cert-file', '--tls-private-key-file'] as const;

/** Reads both files and proves that they fit. Throws FL_SERVE_CERTIFICATE, which names the files. */
export async function readCertificate({ certFile, keyFile, flags = FLAGS }: Files): Promise<Pair> {
  try {
    const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
    // createSecureContext alone accepts empty files, as a writer leaves them for a moment: no handshake would succeed.
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) throw new Error('the key is of another one');
    createSecureContext({ cert, key });
    return { cert, key };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw failure(
      'FL_SERVE_CERTIFICATE',
      `${flags[0]} ${certFile} and ${flags[1]} ${keyFile}: no certificate with its key: ${why}`,
      { cause: error, field: flags[0] },
    );
  }
}

/** Hands out a fresh pair each time that the files hold another one that fits. The returned function ends that. */
export function watchCertificate(options: {
  readonly files: Files;
  readonly first: Pair;
  readonly clock: Timers;
  readonly log: Log;
  readonly use: (fresh: Pair) => void;
}): () => void {
  const { files, clock, log, use } = options;
  let current = options.first;
  let told = false; // that the files do not fit: once until they do again
  let ended = false;
  let cancel = clock.after(LOOK_MS, look);

  function look(): void {
    void compare().finally(() => {
      if (!ended) cancel = clock.after(LOOK_MS, look);
    });
  }

  async function compare(): Promise<void> {
    try {
      const fresh = await readCertificate(files);
      told = false;
      if (ended || (fresh.cert === current.cert && fresh.key === current.key)) return;
      use(fresh);
      current = fresh;
      log.info({ certFile: files.certFile, keyFile: files.keyFile }, 'certificate replaced');
    } catch (error) {
      // The first half of a rotation looks like this, too.
      if (!told) log.warn({ err: error }, 'the certificate files do not fit, the last certificate stays in use');
      told = true;
    }
  }

  return () => {
    ended = true;
    cancel();
  };
}
