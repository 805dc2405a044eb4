export const gatewayRoutes = {} as const;
