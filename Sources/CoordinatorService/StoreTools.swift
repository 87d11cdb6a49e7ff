// SPDX-License-Identifier: Apache-2.0

internal import Configuration
internal import DecisionStore
package import DecisionStoreEtcd
internal import FleetModel
internal import Glibc
package import StoreAccess
internal import Wire

/// What an operator does with a fleet's stores while no coordinator needs to run: moves them, backs
/// them up, puts a backup back.
package struct StoreTools: Sendable {
    /// How far the epochs of a store that was put back are above those of the backup: nobody can have
    /// raised them so often since.
    static let restoredEpochStep: UInt64 = 1_000_000

    private let topology: Topology
    /// With which files to come to etcd.
    private let credentials: EtcdOptions.Credentials?

    /// The stores of one fleet, wherever each kind is.
    package struct Places: Sendable {
        package var fleet: StoreLocation
        package var sites: StoreLocation

        package init(fleet: StoreLocation, sites: StoreLocation) {
            self.fleet = fleet
            self.sites = sites
        }

        func location(_ store: StoreLocation.Store) -> StoreLocation {
            store == .fleet ? fleet : sites
        }
    }

    /// Tools for the fleet of a topology file.
    ///
    /// - Throws: ``CoordinatorError`` when the file is refused.
    package init(
        topologyPath: String, credentials: EtcdOptions.Credentials?
    ) throws(CoordinatorError) {
        do {
            topology = try FleetFile.load(topologyPath).topology
        } catch {
            throw CoordinatorError("\(error)")
        }
        self.credentials = credentials
    }

    private var stores: [StoreLocation.Store] {
        [.fleet] + topology.sites.map { .site($0.name) }
    }

    // MARK: - Migrate

    /// Moves every store of the fleet, and marks the old ones so that no coordinator leads in them.
    ///
    /// Coordinators must be stopped: an embedded store is locked while one runs, and one that leads in
    /// etcd is deposed. Running it again finishes what was cut off.
    ///
    /// - Returns: a line about each store.
    /// - Throws: ``CoordinatorError``; the old stores still hold everything.
    package func migrate(
        from old: Places, to new: Places
    ) async throws(CoordinatorError) -> [String] {
        var lines: [String] = []
        for name in stores {
            let (source, target) = (old.location(name), new.location(name))
            guard source != target else {
                throw CoordinatorError("the store of '\(name.role)' is to move to where it is")
            }
            lines.append(
                try await withStore(name, source) { from async throws(StoreError) in
                    try await withOpen(name, target) { to async throws(StoreError) in
                        let (contents, leadership) = try await StoreCopy.takeOver(
                            from, name, epochID: SystemRandom.id(), movingTo: "\(target)")
                        try await StoreCopy.write(
                            contents, to: to, epochID: SystemRandom.id()
                        ) { () async throws(StoreError) in
                            try await StoreCopy.seal(from, under: leadership, to: "\(target)")
                        }
                        return "\(name.role): \(contents.records.count) records to \(target)"
                    }
                })
        }
        return lines
    }

    // MARK: - Backup

    /// Writes every store into one file; of stores in etcd while the fleet runs.
    ///
    /// - Returns: a line about each store.
    /// - Throws: ``CoordinatorError``.
    package func backup(
        _ places: Places, to path: String
    ) async throws(CoordinatorError) -> [String] {
        var archive = StoreArchive(fleet: topology.fleetName, stores: [])
        for name in stores {
            archive.stores.append(
                try await withStore(name, places.location(name)) { store async throws(StoreError) in
                    try await StoreCopy.read(store, name) { record in
                        guard record.key == "site" else { return nil }
                        return try? SiteRecord.decode(record.value).epoch
                    }
                })
        }
        try write(archive.bytes, to: path)
        return archive.stores.map { "\($0.store.role): \($0.records.count) records" }
    }

    /// Puts a backup into empty stores.
    ///
    /// The nodes may hold caps and orders that are newer than the backup. So every epoch is put far
    /// above the backup's, and the ledgers charge every node what it draws without any limit: the
    /// domains are in commissioning, nothing is raised, and no job starts until read-backs have proven
    /// the nodes.
    ///
    /// - Returns: a line about each store.
    /// - Throws: ``CoordinatorError`` when the file is none of this fleet, or a store is not empty.
    package func restore(
        _ path: String, to places: Places
    ) async throws(CoordinatorError) -> [String] {
        let archive: StoreArchive
        do {
            archive = try StoreArchive(try read(path))
        } catch let error as CoordinatorError {
            throw error
        } catch {
            throw CoordinatorError("'\(path)': \(error)")
        }
        guard archive.fleet == topology.fleetName else {
            throw CoordinatorError(
                "'\(path)' is of fleet '\(archive.fleet)', the topology of '\(topology.fleetName)'")
        }
        guard Set(archive.stores.map(\.store)) == Set(stores) else {
            throw CoordinatorError("'\(path)' holds other sites than the topology has")
        }
        var lines: [String] = []
        for stored in archive.stores {
            let contents = try recovered(stored)
            lines.append(
                try await withStore(
                    stored.store, places.location(stored.store)
                ) { store async throws(StoreError) in
                    try await StoreCopy.write(contents, to: store, epochID: SystemRandom.id())
                    return "\(stored.store.role): \(contents.records.count) records"
                })
        }
        return lines
    }

    /// A store's contents as they are safe to lead from whatever has happened since.
    func recovered(_ stored: StoreContents) throws(CoordinatorError) -> StoreContents {
        var contents = stored
        contents.epoch += Self.restoredEpochStep
        guard case .site(let name) = stored.store,
            let site = topology.sites.firstIndex(where: { $0.name == name })
        else { return contents }
        let nodes = topology.nodes.indices.filter { topology.nodes[$0].site.position == site }
        for index in contents.records.indices {
            let record = contents.records[index]
            do {
                if record.key == "site" {
                    var value = try SiteRecord.decode(record.value)
                    value.epoch = contents.epoch
                    value.epochID = SystemRandom.id()
                    value.hasLeftCommissioning = value.hasLeftCommissioning.map { _ in false }
                    value.commissionedUnixMilliseconds = 0
                    contents.records[index].value = value.encoded()
                } else {
                    var shard = try LedgerShard.decode(record.value)
                    try chargeUncapped(&shard, nodes: nodes, site: name)
                    contents.records[index].value = shard.encoded()
                }
            } catch let error as CoordinatorError {
                throw error
            } catch {
                throw CoordinatorError("the ledger of '\(name)' in the backup: \(error)")
            }
        }
        return contents
    }

    private func chargeUncapped(
        _ shard: inout LedgerShard, nodes: [Int], site: String
    ) throws(CoordinatorError) {
        for entry in 0..<shard.count {
            let local = Int(shard.firstNode) + entry
            guard local < nodes.count else {
                throw CoordinatorError("the backup has more nodes at '\(site)' than the topology")
            }
            let uncapped = topology.uncapped(NodeIndex(nodes[local]))
            shard.charge[entry] = max(shard.charge[entry], uncapped)
            shard.unleased[entry] = max(shard.unleased[entry], uncapped)
            shard.proof[entry] = .unproven
            shard.isSupervised[entry] = false
        }
    }

    // MARK: - Files and stores

    private func withStore<Value: Sendable>(
        _ name: StoreLocation.Store, _ location: StoreLocation,
        _ body: (any DecisionStore) async throws(StoreError) -> Value
    ) async throws(CoordinatorError) -> Value {
        do throws(StoreError) {
            return try await withOpen(name, location, body)
        } catch {
            throw CoordinatorError("the store of '\(name.role)' in \(location): \(error)")
        }
    }

    private func withOpen<Value: Sendable>(
        _ name: StoreLocation.Store, _ location: StoreLocation,
        _ body: (any DecisionStore) async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        if case .sqlite(let folder) = location.kind { mkdir(folder, 0o700) }
        let store = try location.open(name, fleet: topology.fleetName, credentials: credentials)
        do throws(StoreError) {
            let value = try await body(store)
            await store.close()
            return value
        } catch {
            await store.close()
            throw error
        }
    }

    /// Writes a file for its owner's eyes, whole or not at all; never over one that is there.
    private func write(_ bytes: [UInt8], to path: String) throws(CoordinatorError) {
        let temporary = path + ".part"
        let file = Glibc.open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure("write", path) }
        defer { Glibc.close(file) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            guard count > 0 else { throw failure("write", path) }
            rest = rest.dropFirst(count)
        }
        guard fsync(file) == 0, link(temporary, path) == 0 else { throw failure("write", path) }
        unlink(temporary)
    }

    private func read(_ path: String) throws(CoordinatorError) -> [UInt8] {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw failure("read", path) }
        defer { Glibc.close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = Glibc.read(file, &buffer, buffer.count)
            guard count >= 0 else { throw failure("read", path) }
            if count == 0 { return bytes }
            bytes += buffer.prefix(count)
        }
    }

    private func failure(_ what: String, _ path: String) -> CoordinatorError {
        CoordinatorError("cannot \(what) '\(path)': \(String(cString: strerror(errno)))")
    }
}
