/** The commented configuration `resurgo init` writes. It is valid as it is. */
export const configTemplate = (
  recipient: string,
): string => `# Resurgo configuration. Every key: docs/reference/config.md; try it with \`resurgo check\`.
# Any value may be { env: NAME } or { file: PATH }: secrets stay out of this file. Units: 500ms 30s 4h 30d, 64MiB 2GiB.
version: 1

# Everything is encrypted before it leaves this host.
encryption:
  recipients: [${recipient}]            # who can restore (public keys)
  identity: { file: ./resurgo.key }     # only where restores run; a host that only takes backups needs none
  # hostKey: ./resurgo-host.key         # this host's own key: signs its backups
  # trustedHosts: []                    # public keys of other hosts whose backups may be restored here
  # Instead of recipients and identity, one passphrase for both:
  # passphrase: { env: RESURGO_PASSPHRASE }

# Where backups are kept. Have at least one that does not die with this machine.
repositories:
  local: { type: disk, path: ./backups }
  # remote:
  #   type: s3
  #   bucket: dr-backups
  #   prefix: shop/
  #   region: ap-northeast-2
  #   accessKeyId: { env: S3_KEY }       # without keys: environment, profile or instance role, as AWS tools do
  #   secretAccessKey: { env: S3_SECRET }
  #   sse: AES256                        # or aws:kms with sseKmsKeyId
  #   maxRate: 50MiB                     # per second
  #   endpoint: https://minio.example.test:9000   # MinIO and its kin, with
  #   forcePathStyle: true

# What is backed up.
targets:
  main:
    type: postgres
    engine: logical                      # one database by pg_dump; physical: the whole cluster, with incrementals from 17 on
    connection: postgres://postgres@127.0.0.1:5432/postgres     # <- yours; better { env: DATABASE_URL }
    # password: { env: DATABASE_PASSWORD }
    # jobs: 4                            # parallel connections
    # only: { schemas: [public] }        # part of the database
  # cluster:
  #   type: postgres
  #   engine: physical
  #   connection: { env: CLUSTER_URL }   # a role with REPLICATION
  #   dataDir: /var/lib/postgresql/18/main      # for restores in place
  #   standbys: [{ name: b, connection: { env: CLUSTER_B_URL } }]
  #   backupFrom: prefer-standby         # spares the primary
  #   checkpoint: spread                 # gentle; default fast
  #   maxRate: 100MiB                    # per second
  #   service:                           # around a restore in place; argument lists, no shell
  #     stop: [systemctl, stop, shop-api]
  #     start: [systemctl, start, shop-api]
  #     health: [curl, --fail, --silent, http://127.0.0.1:8080/health]
  #     timeout: 2m

  # media:
  #   type: files
  #   paths: [/srv/media]
  #   exclude: ['**/cache/**']
  # conf:
  #   type: config                       # with service definitions, database settings and this configuration
  #   files: [/etc/shop]
  #   services: [shop-api.service]
  #   databases: [cluster]
  # platform:
  #   type: group                        # one backup of all, in this order
  #   members: [cluster, media, conf]

# When, and into which repositories.
policies:
  - { targets: [main], kind: full, schedule: '0 2 * * *', timezone: UTC, repositories: [local] }
  # - { targets: [cluster], kind: full, schedule: '0 2 * * 0', timezone: Asia/Seoul, repositories: [local, remote] }
  # - { targets: [cluster], kind: incremental, schedule: '0 */4 * * *', timezone: Asia/Seoul, repositories: [local, remote] }

# A backup stays if any rule keeps it.
retention:
  - { daily: 7, weekly: 4, monthly: 12 }

# How standbys of a cluster are watched; see docs/guides/clusters.md.
# replication: { every: 30s, maxLag: 30s, criticalLag: 5m }

# What you promise: time to recover, and time of data that may be lost. Also per target.
objectives: { rto: 4h, rpo: 24h }
`;
