/** A database of an ORM's own, through the proxy. */
export interface Database {
  readonly url: string;
}

/** Client connections that an ORM may make: more than the proxy has to a server. */
export const connectionsMax = 8;
