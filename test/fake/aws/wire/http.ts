import { AwsError } from '../error.ts';
import { type ServiceName, sdks } from '../operations.ts';
import { type FormStyle, readForm } from './form.ts';
import { type OperationModel, operationOf } from './schema.ts';
import { escapeXml, writeXml } from './xml.ts';

/** What the SDK hands to a requestHandler, as far as we look. */
export interface WireRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}
export interface WireResponse {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}
/** Whose request it is and what it asks for; `read` throws AwsError for parameters that do not exist. */
export interface Opened {
  readonly service: ServiceName;
  readonly operation: string;
  read(): object;
}

const versions: Readonly<Record<string, FormStyle>> = { '2015-12-01': 'elb', '2016-11-15': 'ec2' };
const TARGET = 'ResourceGroupsTaggingAPI_20170126.';

export function open({ headers, body = '' }: WireRequest): Opened {
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body);
  const target = headers['x-amz-target'];
  if (target?.startsWith(TARGET) === true) {
    return { service: 'tagging', operation: target.slice(TARGET.length), read: () => JSON.parse(text) as object };
  }
  const form = new URLSearchParams(text);
  const service = versions[form.get('Version') ?? ''];
  if (service === undefined) throw new TypeError(`a request of none of our services: ${target ?? form.get('Version')}`);
  const operation = form.get('Action') ?? '';
  return { service, operation, read: () => readForm(form, modelOf(service, operation).input, service) };
}

export function modelOf(service: ServiceName, name: string): OperationModel {
  const model = operationOf(sdks[service], name);
  if (model === undefined) throw new AwsError('InvalidAction', `The action ${name} is not valid for this web service.`);
  return model;
}

export function encode({ service, operation: name }: Opened, output: object, id: string): WireResponse {
  switch (service) {
    case 'tagging':
      return answer(200, JSON.stringify(output), 'application/x-amz-json-1.1');
    case 'elb':
      return answer(
        200,
        `<${name}Response xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><${name}Result>${writeXml(output, modelOf(service, name).output)}</${name}Result><ResponseMetadata><RequestId>${id}</RequestId></ResponseMetadata></${name}Response>`,
      );
    case 'ec2':
      return answer(
        200,
        `<?xml version="1.0" encoding="UTF-8"?>\n<${name}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>${id}</requestId>${writeXml(output, modelOf(service, name).output)}</${name}Response>`,
      );
    default:
      return service satisfies never;
  }
}

export function encodeError(service: ServiceName, { code, message, status }: AwsError, id: string): WireResponse {
  const error = `<Code>${escapeXml(code)}</Code><Message>${escapeXml(message)}</Message>`;
  switch (service) {
    case 'tagging':
      return answer(status, JSON.stringify({ __type: code, Message: message }), 'application/x-amz-json-1.1');
    case 'elb':
      return answer(
        status,
        `<ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>${status < 500 ? 'Sender' : 'Receiver'}</Type>${error}</Error><RequestId>${id}</RequestId></ErrorResponse>`,
      );
    case 'ec2':
      return answer(
        status,
        `<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>${error}</Error></Errors><RequestID>${id}</RequestID></Response>`,
      );
    default:
      return service satisfies never;
  }
}

/** What a proxy answers when there is nobody behind it. */
export function garbage(): WireResponse {
  return answer(502, '<html><head><title>502 Bad Gateway</title></head><body><hr></body></html>', 'text/html');
}

function answer(statusCode: number, body: string, contentType = 'text/xml'): WireResponse {
  return { statusCode, headers: { 'content-type': contentType }, body: new TextEncoder().encode(body) };
}
