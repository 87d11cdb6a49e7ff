// SPDX-License-Identifier: Apache-2.0

internal import DecisionStore
internal import Logging

/// What the last look at the cluster has found.
package struct EtcdHealth: Hashable, Sendable {
    /// The version of the member that was asked; empty before the first look.
    package var version = ""
    package var databaseByteCount: Int64 = 0
    /// The most that the database may hold.
    package var quotaByteCount: Int64 = 0
    /// True when the quota was reached: nothing can be written until somebody has compacted,
    /// defragmented and disarmed the alarm.
    package var isFull = false
    /// True when a member's data differ from the others'.
    package var isCorrupt = false
    /// The newest revision to which this store has compacted; 0 for none.
    package var compactedRevision: Int64 = 0
}

extension EtcdDecisionStore {
    /// What the last look at the cluster has found.
    package var lastHealth: EtcdHealth { health }

    /// Looks at size and alarms, forgets what was overwritten long ago, and renews credentials.
    package func lookAfterCluster() async {
        cluster.client.renewCredentials()
        let client = cluster.client
        let member = client.currentMember
        do throws(EtcdFailure) {
            let status = try await client.call(
                .status, EtcdStatusRequest(), returning: EtcdStatus.self, member: member)
            let alarms = try await client.call(
                .alarm, EtcdAlarmsRequest(), returning: EtcdAlarms.self, member: member)
            note(status, alarms.alarms)
            try await compactIfDue(status.revision)
        } catch {
            options.log.debug("etcd: not looked after", metadata: ["reason": "\(error.reason)"])
        }
        await greetOthers(than: member)
    }

    /// Says a word to the other members, so that there is a connection when one of them is needed.
    private func greetOthers(than current: Int) async {
        for member in 0..<cluster.client.memberCount where member != current {
            do throws(EtcdFailure) {
                _ = try await cluster.client.call(
                    .status, EtcdStatusRequest(), returning: EtcdStatus.self, member: member)
            } catch {
                options.log.debug(
                    "etcd: a member does not answer",
                    metadata: [
                        "member": "\(options.endpoints[member])", "reason": "\(error.reason)",
                    ])
            }
        }
    }

    private func note(_ status: EtcdStatus, _ alarms: [EtcdAlarm]) {
        let before = health
        health.version = status.version
        health.databaseByteCount = status.databaseByteCount
        health.quotaByteCount =
            status.quotaByteCount > 0 ? status.quotaByteCount : options.quotaByteCount
        health.isFull = alarms.contains(.noSpace)
        health.isCorrupt = alarms.contains(.corrupt)
        if health.isCorrupt && !before.isCorrupt {
            options.log.critical("etcd: members of the cluster hold different data")
        }
        if health.isFull && !before.isFull {
            options.log.critical(
                "etcd: the database is full: compact, defragment and disarm the alarm",
                metadata: ["bytes": "\(status.databaseByteCount)"])
        } else if health.databaseByteCount > health.quotaByteCount / 10 * 8 {
            options.log.warning(
                "etcd: the database is nearly full",
                metadata: [
                    "bytes": "\(health.databaseByteCount)", "quota": "\(health.quotaByteCount)",
                ])
        }
    }

    /// Compacts to the revision of one interval ago, while this store leads in some role.
    private func compactIfDue(_ revision: Int64) async throws(EtcdFailure) {
        guard let interval = options.compactionInterval,
            roles.values.contains(where: { $0.end == nil })
        else { return }
        if compactTo == 0 { (compactTo, compactedAt) = (revision, .now) }
        guard ContinuousClock.now - compactedAt >= interval else { return }
        let target = compactTo
        (compactTo, compactedAt) = (revision, .now)
        do throws(EtcdFailure) {
            _ = try await cluster.client.call(
                .compact, EtcdCompaction(revision: target), returning: EtcdAcknowledgement.self,
                member: cluster.client.currentMember)
            health.compactedRevision = target
        } catch {
            // Another store of the cluster was first.
            if !error.isCompacted { throw error }
        }
    }
}
