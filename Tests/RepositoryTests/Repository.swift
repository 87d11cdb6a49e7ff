// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The files of the repository, as the tests of its shape see them.
struct Repository {
    /// One file: its path from the root of the repository, and its lines.
    struct File {
        var path: String
        var lines: [String]

        /// The target that a file under `Sources` belongs to.
        var target: String? {
            let parts = path.split(separator: "/")
            guard parts.count > 2, parts[0] == "Sources" else { return nil }
            return String(parts[1])
        }
    }

    /// The root of the repository, found from this file's own place.
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Every file below the given folders with one of the endings, in order of path.
    static func files(under folders: [String], endings: [String]) throws -> [File] {
        var paths: [String] = []
        for folder in folders {
            let base = root.appendingPathComponent(folder).path
            let found = FileManager.default.enumerator(atPath: base)
            while let name = found?.nextObject() as? String {
                if endings.contains(where: { name.hasSuffix("." + $0) }) {
                    paths.append(folder + "/" + name)
                }
            }
        }
        return try paths.sorted().map { path in
            let text = try String(
                contentsOf: root.appendingPathComponent(path), encoding: .utf8)
            return File(path: path, lines: text.components(separatedBy: "\n"))
        }
    }

    /// The Swift files that people wrote.
    static func swiftFiles() throws -> [File] {
        try files(under: ["Sources", "Tests"], endings: ["swift"])
    }
}
