import Basics
import Foundation
import Relevance

/// The files that people read, written from a ledger or from several.
public enum LabelOutput {
  /// The file of rows that could not be labelled, beside an output.
  public static func errorsPath(_ output: String) -> String {
    let stem = output.hasSuffix(".jsonl") ? String(output.dropLast(6)) : output
    return stem + ".errors.jsonl"
  }

  /// Writes records and errors in input order; both files take their names only when both are whole.
  ///
  /// - Parameter limit: only rows before this number of the input.
  /// - Throws: `writeFailed` where the disk is full; what stood under the names stays then.
  public static func write(_ ledger: LedgerReader, output: String, before limit: Int? = nil) throws {
    let files = try Files(output: output)
    try ledger.forEach(before: limit) { _, state, text in try files.write(state, text) }
    try files.commit()
  }

  /// A records file and an errors file in the making.
  struct Files {
    private let records: AtomicFile
    private let errors: AtomicFile

    init(output: String) throws {
      LabelOutput.removeRemains(output)
      LabelOutput.removeRemains(errorsPath(output))
      records = try AtomicFile(path: output)
      errors = try AtomicFile(path: errorsPath(output))
    }

    func write(_ state: LedgerReader.State, _ text: UnsafeRawBufferPointer) throws {
      let file = state == .done ? records : errors
      try file.write(bytes: text)
      try file.write("\n")
    }

    func commit() throws {
      try errors.commit()
      try records.commit()
    }
  }

  /// Removes half-written files that a killed process left beside an output.
  private static func removeRemains(_ path: String) {
    let folder = (path as NSString).deletingLastPathComponent
    let prefix = (path as NSString).lastPathComponent + ".partial-"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? "." : folder)) ?? []
    for name in names where name.hasPrefix(prefix) {
      // A process that still runs may be writing there, say a merge to the same name.
      guard let process = Int32(name.dropFirst(prefix.count)), kill(process, 0) != 0, errno == ESRCH else {
        continue
      }
      unlink((folder.isEmpty ? "" : folder + "/") + name)
    }
  }
}
