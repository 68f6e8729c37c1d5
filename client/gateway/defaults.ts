/** Where the gateway listens unless the configuration says otherwise. */
export const gatewayDefaults = { host: '127.0.0.1', port: 8377 } as const;
