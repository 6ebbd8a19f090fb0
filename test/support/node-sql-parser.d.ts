/** The package has types for its whole, not for its grammars one by one. */
declare module 'node-sql-parser/build/postgresql' {
  class Parser {
    parse(sql: string, options: { readonly database: string }): { readonly tableList: readonly string[] }
  }
  const module: { readonly Parser: typeof Parser }
  export default module
}
