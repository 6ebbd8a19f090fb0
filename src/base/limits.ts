/** Every limit of pgherd, its unit last in the name. A test reaches each of them. */
const KiB = 1024
const MiB = 1024 * KiB

export const limits = {
  /** A client message may be as large as PostgreSQL's own limit for one query (just under 1 GiB). */
  messageBytesMax: 1024 * MiB - 1,
  /** Before a client is known, nothing it sends needs to be longer (PostgreSQL: MAX_STARTUP_PACKET_LENGTH). */
  startupBytesMax: 10_000,
  /** Time to complete the start-up exchange (PostgreSQL: authentication_timeout). */
  startupMsMax: 60_000,
  /** Unsent bytes towards one client at which its servers stop being read. */
  clientBacklogBytesMax: 1 * MiB,
  /** Unread messages of one client at which its socket stops being read. */
  clientQueueMessagesMax: 4096,
  clientQueueBytesMax: 16 * MiB,
  /** After a message as large as this, what it has left is freed within this time. */
  garbageBytesMin: 4 * MiB,
  garbageMsMax: 200,
  /** Server connections per router, server, database and role. */
  poolConnectionsMax: 90,
  /** A server connection that nobody has used for so long is closed. */
  poolIdleMsMax: 30_000,
  poolSweepEveryMs: 5_000,
  /** How long a session waits for a server connection. */
  poolWaitMsMax: 30_000,
  /** Rows of one shard that wait to be merged, at which the shard stops being read. */
  mergeQueueBytesMax: 256 * KiB,
  connectMsMax: 10_000,
  /** A connection that is silent for so long is asked by the system whether it is still there. */
  keepAliveMs: 10_000,
  /** Shared connections of one router to one server, of all groups together, and of one group. */
  lanesPerServerMax: 32,
  lanesPerGroupMax: 8,
  /** Point reads that wait on one shared connection; with fewer than the first number no other is opened. */
  laneDepthWanted: 16,
  laneDepthMax: 64,
  /** A shared connection whose server has not answered for so long gets no more. */
  laneStallMsMax: 20,
  /** After so long without an answer (looked at twice) those that wait behind it run elsewhere. */
  laneWaitMsMax: 50,
  /** How often a read runs again because its connection broke, held it prepared for an older schema, or was in a deadlock. */
  leaseRetriesMax: 5,
  /** Statements kept prepared on one server connection; the oldest is closed when there are more. */
  preparedPerConnectionMax: 1000,
  /** Plans kept by one router for one database. */
  plansMax: 5000,
  /** Forms of text, the same but for literals, that one router keeps for each way to find names. */
  templatesMax: 1000,
  /** Databases, search paths and roles whose templates are kept. */
  namePathsMax: 64,
  /** Texts longer than this are planned each time they come and not kept. */
  planTextBytesMax: 64 * KiB,
  /** Times a statement is planned again because its tables had moved, before the client is told. */
  staleRetriesMax: 15,
  /** It waits, where the commit of a move has reached the catalog and not yet a shard; recovery finishes it when its router is gone. */
  staleWaitMsMin: 5,
  staleWaitMsMax: 1_000,
  /** Rows in one INSERT that carries rows computed on the catalog to a shard. */
  insertBatchRowsMax: 500,
  /** Bytes of rows, in COPY's format, at which such a statement is sent with fewer rows. */
  insertBatchBytesMax: 1 * MiB,
  /** Prepared transactions of another router younger than this are taken to be in progress. */
  recoveryAgeMsMin: 2_000,
  recoveryEveryMs: 1_000,
  /** How long a commit itself tries to finish what a broken connection left, before recovery has it and the client is told. */
  finishMsMax: 10_000,
  finishRetryMsMin: 20,
  finishRetryMsMax: 500,
  /** How often recovery looks whether the other parts of a commit are finished, before it leaves the last to its next pass. */
  gateAskTimesMax: 10,
  /** Who wants to read several servers as of one moment waits at the gate so long, with pauses for those who commit, and in all. */
  gateLockMsMax: 200,
  gatePauseMs: 50,
  gateWaitMsMax: 10_000,
  /** A hold of the gate that its router leaves alone for so long ends. */
  gateHoldMsMax: 2_000,
  gateKeepMs: 10_000,
  /** How often snapshots are opened again because the hold was lost. */
  gateRetriesMax: 5,
  /** A server that the control plane asks is away when it has not answered by then. */
  serverAnswerMsMax: 3_000,
  deadlockEveryMs: 500,
  /** A transaction whose server has not answered for so long may be in a deadlock. */
  suspectMsMin: 300,
  /** Who looks for deadlocks does without a server that has not answered by then, for so long. */
  deadlockAnswerMsMax: 1_000,
  deadlockAwayMs: 2_000,
  /** Without a suspect for so long, the connections that deadlocks are looked for on are closed. */
  deadlockIdleMs: 10_000,
  /** What a router has told of its waits counts for so long, and is taken away by others when it is as old as the second. */
  waitsStaleMs: 5_000,
  waitsForgetMs: 60_000,
  /** A write waits so long for the end of a commit that has moved rows of its table. */
  moveCommitMsMax: 10_000,
  moveCommitEveryMs: 10,
  /** A schema change holds a part of a table's locks on a shard for so long: well below PostgreSQL's deadlock_timeout. */
  changeLockMsMax: 200,
  recoveryLockMsMax: 1_000,
  /** A lock whose holder has not renewed it for so long is free; it is renewed three times in this time. */
  leaseMs: 3_000,
  /** A router that waits for a lock of the control plane tries so often. */
  lockTryEveryMs: 500,
  /** Redis is away when it has not answered by then. */
  redisAnswerMsMax: 1_000,
  redisRetryMs: 200,
  clusterSettingsEveryMs: 2_000,
  /** How old a read of a replica may be, where the session says nothing else, and the most that it may say. */
  replicaLagMsMax: 5_000,
  replicaSampleKeepMs: 60_000,
  replicaLookEveryMs: 500,
  /** A replica is gone when it has not answered by then. */
  replicaAnswerMsMax: 1_000,
  /** Replicas are looked at no more when nobody has read from one for so long. */
  replicaWatchIdleMs: 30_000,
  /** Who the primary of a shard is, is looked at so often; its servers have so long to answer. */
  primaryLookEveryMs: 1_000,
  primaryAnswerMsMax: 1_000,
  /** A router that has not read the list of servers for so long makes sure of a primary before it opens another connection to it. */
  primaryTrustMsMax: 5_000,
  /** A statement waits so long for a primary that can be entered, and tries so often. */
  failoverWaitMsMax: 10_000,
  failoverRetryMs: 200,
  /** How often a router looks after the shards that have replicas. */
  guardLookEveryMs: 500,
  /** A primary that has not answered for so long is gone, when its replicas say so too. */
  primaryLostMsMin: 3_000,
  /** A replica that does not follow for so long is waited for no more. */
  replicaLostMsMax: 2_000,
  /** Looks at a replica that was cut off from its primary. */
  cutOffLookMs: 50,
  /** How often a server is asked whether a setting is in effect. */
  settingTriesMax: 100,
  /** How often the embedded cluster looks at its servers; a dead primary is not started again for so long where a replica may take its place. */
  keepEveryMs: 500,
  replacedMsMax: 10_000,
  /** A replica that has not followed its primary for so long is made anew. */
  strayMsMax: 30_000,
  /** At shutdown, what clients have not taken by then is dropped. */
  shutdownMsMax: 1_000,
  /** Decisions are kept so long, and until nobody can ask for them any more; where a client knows the transaction's id, the longer time. */
  decisionKeepMs: 600_000,
  askedDecisionKeepMs: 86_400_000,
  forgetEveryMs: 60_000,
  /** A cut-over holds writes for no longer than this, or lets go of everything and is tried again later. */
  cutoverMsMax: 500,
  /** From when routers are told of it until it asks for locks: what they have begun by then comes first. */
  cutoverNoticeMs: 15,
  /** It waits for locks for so long, at first and at most: well below PostgreSQL's deadlock_timeout. */
  cutoverLockMsMin: 100,
  cutoverLockMsMax: 350,
  cutoverRetryMsMin: 200,
  cutoverRetryMsMax: 1_000,
  /** A cut-over is tried once the target has no more than so much of the source's log to apply. */
  cutoverLagBytesMax: 1 * MiB,
  /** After a first one that got no locks, a cut-over waits so long, locking nothing, until nobody uses the tables on the source. */
  cutoverQuietMsMax: 300,
  /** How often it looks whether the target has applied the last of it. */
  cutoverLookMs: 3,
  /** Copies that were compared in less time than this are compared again with the writes held. */
  compareHeldMsMax: 100,
  /** Parts of a copy that are compared by themselves while clients write, and how often, before the copy counts as wrong. */
  compareParts: 256,
  compareTimesMax: 20,
  movePollMs: 200,
  /** How often a router looks for moves that nobody works on: in databases that it serves, and in all. */
  moverEveryMs: 1_000,
  moverLookEverywhereMs: 15_000,
  /** Who works on a move says so; another takes over when it has not for so long. */
  moverBeatMs: 1_000,
  moverSilenceMsMax: 5_000,
  /** A move that has failed is tried again after so long, at first and at most. */
  moveRetryMsMin: 500,
  moveRetryMsMax: 30_000,
  /** Moves at a time that a shard is the source or the target of. */
  movesPerServerMax: 1,
  /** How long a move is thought to take before any was measured; and how many of the last are looked at. */
  moveGuessMs: 3_000,
  moveGuessBytesPerSecond: 10 * MiB,
  moveSamplesMax: 100,
  /** Without a terminal, a command that waits for moves tells of one that lasts so often. */
  moveLineEveryMs: 5_000,
  /** It waits so long for a router that has gone away. */
  routerAwayMsMax: 30_000,
  /** Who lets a shard join a database waits for a lock so long, lets go of everything then, and tries so often in all, after a pause. */
  joinLockMsMax: 5_000,
  joinTriesMax: 8,
  joinPauseMs: 1_000,
  /** PostgreSQL ends it when it has not been heard of for so long. */
  joinIdleMsMax: 20_000,
  /** How long a shard that is to join waits for changes of databases and of roles that are under way. */
  joinWaitMsMax: 30_000,
  /** Decisions that one pass takes away from one database. */
  forgetRowsMax: 10_000,
} as const
