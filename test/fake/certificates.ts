/** X.509 certificates for tests, made on the spot: Node can sign but not issue, and openssl is not on every machine. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** PEM texts. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}
export interface Authority extends Certificate {
  /** For 127.0.0.1 and localhost; `name` is the common name, a client certificate's user. */
  issue(name: string): Certificate;
}

/** A fresh certificate authority; everything is valid from yesterday for ten years. */
export function createAuthority(name = 'test-ca'): Authority {
  const { publicKey, privateKey } = keyPair();
  const cert = certificate({ subject: name, issuer: name, publicKey, signer: privateKey, isAuthority: true });
  return {
    cert,
    key: pem(privateKey),
    issue(subject) {
      const own = keyPair();
      const options = { subject, issuer: name, publicKey: own.publicKey, signer: privateKey, isAuthority: false };
      return { cert: certificate(options), key: pem(own.privateKey) };
    },
  };
}

const keyPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();

const ecdsaWithSha256 = sequence(oid([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]));

function certificate(options: {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly isAuthority: boolean;
}): string {
  const { subject, issuer, publicKey, signer, isAuthority } = options;
  // RFC 5280 4.1: version, serial, signature, issuer, validity, subject, key, extensions.
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaWithSha256,
    nameOf(issuer),
    sequence(time(-1), time(3650)),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(isAuthority ? basicConstraints : alternativeNames)),
  );
  const der = sequence(body, ecdsaWithSha256, bits(sign('sha256', body, signer)));
  const lines = der.toString('base64').replaceAll(/.{64}/g, '$&\n').trim();
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

const basicConstraints = extension([0x55, 0x1d, 0x13], sequence(tagged(0x01, Buffer.from([0xff]))));
const alternativeNames = extension(
  [0x55, 0x1d, 0x11],
  sequence(tagged(0x87, Buffer.from([127, 0, 0, 1])), tagged(0x82, Buffer.from('localhost'))),
);

function extension(id: readonly number[], value: Buffer): Buffer {
  return sequence(oid(id), tagged(0x04, value));
}

function nameOf(common: string): Buffer {
  return sequence(tagged(0x31, sequence(oid([0x55, 0x04, 0x03]), tagged(0x0c, Buffer.from(common)))));
}

function time(days: number): Buffer {
  const text = new Date(Date.now() + days * 86_400_000).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return tagged(0x18, Buffer.from(text));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}
function oid(bytes: readonly number[]): Buffer {
  return tagged(0x06, Buffer.from(bytes));
}
function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}
function bits(bytes: Buffer): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.from([0]), bytes]));
}

/** Tag, length, value (X.690). */
function tagged(tag: number, value: Buffer): Buffer {
  if (value.length < 0x80) return Buffer.concat([Buffer.from([tag, value.length]), value]);
  const length = Buffer.from(value.length.toString(16).padStart(value.length > 0xff ? 4 : 2, '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, value]);
}
