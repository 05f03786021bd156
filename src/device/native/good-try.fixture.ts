// A library's first try that goes well, for the tests.
export const smoke = (): void => {};
