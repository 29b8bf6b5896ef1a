import type { AwsClients } from '../../../providers/aws/client.ts';
import { toProviderError } from '../../../providers/aws/errors.ts';
import { operations, priorityOf, type ServiceName } from '../../../providers/aws/operations.ts';
import type { Call } from '../../../src/core/provider.ts';
import type { FakeAws } from './aws.ts';

/**
 * The provider's clients without the SDK between: some ten times as fast, for tests of very many calls. wire.test.ts sees
 * that both ways send and read the same.
 */
export function directClients(aws: FakeAws): AwsClients {
  const service = (name: ServiceName) =>
    Object.fromEntries(
      Object.entries<string>(operations[name]).map(([operation, apiClass]) => {
        const method = async (input: object, call: Call, how?: { readonly priority?: number }): Promise<object> =>
          await call.limit(
            async () => {
              call.signal.throwIfAborted();
              try {
                return await aws.call(name, operation, input, call.signal);
              } catch (error) {
                call.signal.throwIfAborted();
                throw toProviderError(error, { service: name, operation, input });
              }
            },
            { class: apiClass, priority: how?.priority ?? priorityOf(operation) },
          );
        return [`${operation.charAt(0).toLowerCase()}${operation.slice(1)}`, method];
      }),
    );
  return { elb: service('elb'), ec2: service('ec2'), tagging: service('tagging'), close() {} } as unknown as AwsClients;
}
