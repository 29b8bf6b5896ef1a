import type { Access } from './access.ts';

/**
 * The ARN of a certificate for this name in ACM, requested unless one is there. Over plain HTTP, because nothing else of
 * Fairlead speaks to ACM: stand-ins read the region in the signature's scope and check no signature.
 */
export async function ensureCertificate(access: Access, domain: string): Promise<string> {
  const { CertificateSummaryList = [] } = (await acm(access, 'ListCertificates', {})) as {
    readonly CertificateSummaryList?: readonly { readonly CertificateArn: string; readonly DomainName: string }[];
  };
  const found = CertificateSummaryList.find(({ DomainName }) => DomainName === domain);
  if (found !== undefined) return found.CertificateArn;
  const request = { DomainName: domain, ValidationMethod: 'DNS', IdempotencyToken: 'seed' };
  return ((await acm(access, 'RequestCertificate', request)) as { readonly CertificateArn: string }).CertificateArn;
}

async function acm(access: Access, operation: string, body: object): Promise<unknown> {
  const scope = `${access.accessKeyId}/20260101/${access.region}/acm/aws4_request`;
  const response = await fetch(`${access.endpoint}/`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/x-amz-json-1.1',
      'X-Amz-Target': `CertificateManager.${operation}`,
      Authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0`,
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`acm ${operation}: ${response.status} ${text.slice(0, 500)}`);
  return JSON.parse(text);
}
