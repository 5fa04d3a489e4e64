// What was chosen on one page and is shown on another.

export const choice = $state({ asset: undefined as string | undefined });
