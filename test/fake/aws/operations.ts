import * as ec2 from '@aws-sdk/client-ec2';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import * as tagging from '@aws-sdk/client-resource-groups-tagging-api';
import type { Operation } from './cloud.ts';
import * as instances from './ec2/instances.ts';
import * as networks from './ec2/networks.ts';
import * as routes from './ec2/routes.ts';
import * as groups from './ec2/security-groups.ts';
import { createTags, deleteTags } from './ec2/tags.ts';
import * as attributes from './elb/attributes.ts';
import { describeAccountLimits } from './elb/limits.ts';
import * as listeners from './elb/listeners.ts';
import * as balancers from './elb/load-balancers.ts';
import { addTags, describeTags, removeTags } from './elb/tags.ts';
import * as targetGroups from './elb/target-groups.ts';
import { deregisterTargets, describeTargetHealth, registerTargets } from './elb/targets.ts';
import { getResources } from './tagging.ts';
import type { Enums } from './wire/check.ts';
import type { SdkModule } from './wire/schema.ts';

export type ServiceName = 'elb' | 'ec2' | 'tagging';

export const sdks: Readonly<Record<ServiceName, SdkModule>> = { elb, ec2, tagging };

/** Every operation that the fake has. Another one is answered with InvalidAction. */
export const operations = {
  elb: {
    AddListenerCertificates: listeners.addListenerCertificates,
    AddTags: addTags,
    CreateListener: listeners.createListener,
    CreateLoadBalancer: balancers.createLoadBalancer,
    CreateTargetGroup: targetGroups.createTargetGroup,
    DeleteListener: listeners.deleteListener,
    DeleteLoadBalancer: balancers.deleteLoadBalancer,
    DeleteTargetGroup: targetGroups.deleteTargetGroup,
    DeregisterTargets: deregisterTargets,
    DescribeAccountLimits: describeAccountLimits,
    DescribeCapacityReservation: balancers.describeCapacityReservation,
    DescribeListenerAttributes: attributes.describeListenerAttributes,
    DescribeListenerCertificates: listeners.describeListenerCertificates,
    DescribeListeners: listeners.describeListeners,
    DescribeLoadBalancerAttributes: attributes.describeLoadBalancerAttributes,
    DescribeLoadBalancers: balancers.describeLoadBalancers,
    DescribeTags: describeTags,
    DescribeTargetGroupAttributes: attributes.describeTargetGroupAttributes,
    DescribeTargetGroups: targetGroups.describeTargetGroups,
    DescribeTargetHealth: describeTargetHealth,
    ModifyCapacityReservation: balancers.modifyCapacityReservation,
    ModifyListener: listeners.modifyListener,
    ModifyListenerAttributes: attributes.modifyListenerAttributes,
    ModifyLoadBalancerAttributes: attributes.modifyLoadBalancerAttributes,
    ModifyTargetGroup: targetGroups.modifyTargetGroup,
    ModifyTargetGroupAttributes: attributes.modifyTargetGroupAttributes,
    RegisterTargets: registerTargets,
    RemoveListenerCertificates: listeners.removeListenerCertificates,
    RemoveTags: removeTags,
    SetIpAddressType: balancers.setIpAddressType,
    SetSecurityGroups: balancers.setSecurityGroups,
    SetSubnets: balancers.setSubnets,
  },
  ec2: {
    AuthorizeSecurityGroupIngress: groups.authorizeSecurityGroupIngress,
    CreateRoute: routes.createRoute,
    CreateSecurityGroup: groups.createSecurityGroup,
    CreateTags: createTags,
    DeleteRoute: routes.deleteRoute,
    DeleteSecurityGroup: groups.deleteSecurityGroup,
    DeleteTags: deleteTags,
    DescribeAccountAttributes: networks.describeAccountAttributes,
    DescribeAddresses: networks.describeAddresses,
    DescribeAvailabilityZones: networks.describeAvailabilityZones,
    DescribeInstances: instances.describeInstances,
    DescribeNetworkInterfaces: instances.describeNetworkInterfaces,
    DescribeRouteTables: routes.describeRouteTables,
    DescribeSecurityGroupRules: groups.describeSecurityGroupRules,
    DescribeSecurityGroups: groups.describeSecurityGroups,
    DescribeSubnets: networks.describeSubnets,
    DescribeVpcs: networks.describeVpcs,
    ModifyInstanceAttribute: instances.modifyInstanceAttribute,
    ModifyNetworkInterfaceAttribute: instances.modifyNetworkInterfaceAttribute,
    ReplaceRoute: routes.replaceRoute,
    RevokeSecurityGroupIngress: groups.revokeSecurityGroupIngress,
  },
  tagging: { GetResources: getResources },
} as const satisfies Record<ServiceName, Record<string, Operation>>;

export type OperationName<S extends ServiceName = ServiceName> = S extends ServiceName
  ? keyof (typeof operations)[S] & string
  : never;

const values = (enumeration: Readonly<Record<string, string>>): readonly string[] => Object.values(enumeration);

/** Of what we send. */
export const enums: Enums = new Map([
  ['CreateLoadBalancerInput.Scheme', values(elb.LoadBalancerSchemeEnum)],
  ['CreateLoadBalancerInput.Type', values(elb.LoadBalancerTypeEnum)],
  ['CreateLoadBalancerInput.IpAddressType', values(elb.IpAddressType)],
  ['CreateLoadBalancerInput.EnablePrefixForIpv6SourceNat', values(elb.EnablePrefixForIpv6SourceNatEnum)],
  ['SetSubnetsInput.IpAddressType', values(elb.IpAddressType)],
  ['SetSubnetsInput.EnablePrefixForIpv6SourceNat', values(elb.EnablePrefixForIpv6SourceNatEnum)],
  ['SetIpAddressTypeInput.IpAddressType', values(elb.IpAddressType)],
  [
    'SetSecurityGroupsInput.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic',
    values(elb.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnum),
  ],
  ['CreateTargetGroupInput.Protocol', values(elb.ProtocolEnum)],
  ['CreateTargetGroupInput.HealthCheckProtocol', values(elb.ProtocolEnum)],
  ['CreateTargetGroupInput.TargetType', values(elb.TargetTypeEnum)],
  ['CreateTargetGroupInput.IpAddressType', values(elb.TargetGroupIpAddressTypeEnum)],
  ['ModifyTargetGroupInput.HealthCheckProtocol', values(elb.ProtocolEnum)],
  ['CreateListenerInput.Protocol', values(elb.ProtocolEnum)],
  ['ModifyListenerInput.Protocol', values(elb.ProtocolEnum)],
  ['Action.Type', values(elb.ActionTypeEnum)],
  ['DescribeTargetHealthInput.Include', values(elb.DescribeTargetHealthInputIncludeEnum)],
  ['TagSpecification.ResourceType', values(ec2.ResourceType)],
  ['DescribeAccountAttributesRequest.AttributeNames', values(ec2.AccountAttributeName)],
]);
