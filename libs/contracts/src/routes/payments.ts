export const paymentsRoutes = {} as const;
