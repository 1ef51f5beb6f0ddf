import Basics
import Foundation
import Testing

/// Makes an empty folder, runs `body` on its path, and removes it.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url.path)
}

/// The `RetortError` that `body` throws, or nil where it throws none.
func thrownError(_ body: () throws -> Void) -> RetortError? {
  do {
    try body()
    return nil
  } catch {
    return error as? RetortError
  }
}

private func names(in folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder)
}

private func text(_ path: String) throws -> String {
  String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
}

@Suite struct AtomicFileTests {
  @Test func nothingStandsUnderTheFinalNameBeforeCommit() throws {
    try withFolder { folder in
      let file = try AtomicFile(path: folder + "/out")
      try file.write("half")
      try file.flush()
      #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
      try file.write(" and half")
      try file.commit()
      #expect(try text(folder + "/out") == "half and half")
      #expect(try names(in: folder) == ["out"])
    }
  }

  @Test func aFileDroppedWithoutCommitLeavesNothing() throws {
    try withFolder { folder in
      do {
        let file = try AtomicFile(path: folder + "/out")
        try file.write("lost")
        try file.flush()
        #expect(try names(in: folder).count == 1)
      }
      #expect(try names(in: folder).isEmpty)
    }
  }

  @Test func theOldContentStaysUntilTheNewOneIsComplete() throws {
    try withFolder { folder in
      let path = folder + "/out"
      try Data("old".utf8).write(to: URL(fileURLWithPath: path))
      do {
        let abandoned = try AtomicFile(path: path)
        try abandoned.write("abandoned")
        try abandoned.flush()
        #expect(try text(path) == "old")
      }
      #expect(try text(path) == "old")
      let file = try AtomicFile(path: path)
      try file.write("new")
      try file.commit()
      #expect(try text(path) == "new")
    }
  }

  @Test func longTextAndLongBytesKeepTheirOrder() throws {
    try withFolder { folder in
      let file = try AtomicFile(path: folder + "/out")
      var expected: [UInt8] = []
      for size in [1, 70_000, 3, 65_536, 65_535, 0, 200_000] {
        let bytes = [UInt8](repeating: UInt8(size % 251), count: size)
        try bytes.withUnsafeBytes { try file.write(bytes: $0) }
        try file.write("|")
        expected += bytes + [UInt8(ascii: "|")]
      }
      try file.commit()
      #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: folder + "/out"))) == expected)
    }
  }

  @Test func aFolderThatIsNotThereIsNamed() throws {
    try withFolder { folder in
      let path = folder + "/missing/out"
      let error = thrownError { _ = try AtomicFile(path: path) }
      #expect(error?.code == .fileUnavailable)
      #expect(error?.file == path)
    }
  }

  @Test func aFinalNameThatIsAFolderIsRefusedAndTheTemporaryFileRemoved() throws {
    try withFolder { folder in
      let path = folder + "/out"
      let file = try AtomicFile(path: path)
      try file.write("text")
      // The folder takes the name after the file was begun.
      try FileManager.default.createDirectory(atPath: path + "/full", withIntermediateDirectories: true)
      #expect(thrownError { try file.commit() }?.code == .writeFailed)
      #expect(try names(in: folder) == ["out"])
    }
  }

  @Test func committingTwiceIsAnError() throws {
    try withFolder { folder in
      let file = try AtomicFile(path: folder + "/out")
      try file.commit()
      #expect(thrownError { try file.commit() }?.code == .writeFailed)
      #expect(try text(folder + "/out") == "")
    }
  }
}

@Suite struct MappedFileTests {
  @Test func theBytesAreThoseOfTheFileAlsoAfterARelease() throws {
    try withFolder { folder in
      let path = folder + "/bytes"
      let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let file = try MappedFile(path: path)
      #expect([UInt8](file.bytes) == bytes)
      file.release(0..<bytes.count)
      file.release(5000..<5001)
      file.release(bytes.count..<bytes.count)
      #expect([UInt8](file.bytes) == bytes)
    }
  }

  @Test func anEmptyFileMapsToNoBytes() throws {
    try withFolder { folder in
      let path = folder + "/empty"
      try Data().write(to: URL(fileURLWithPath: path))
      let file = try MappedFile(path: path)
      #expect(file.bytes.isEmpty)
      file.release(0..<0)
    }
  }

  @Test func aMissingFileAFolderAndAPipeAreRefusedByName() throws {
    try withFolder { folder in
      let pipe = folder + "/pipe"
      #expect(mkfifo(pipe, 0o600) == 0)
      for path in [folder + "/missing", folder, pipe, "/dev/null"] {
        let error = thrownError { _ = try MappedFile(path: path) }
        #expect(error?.code == .fileUnavailable, "\(path)")
        #expect(error?.file == path)
      }
    }
  }
}

@Suite struct RetortErrorTests {
  @Test func descriptionNamesPlaceReasonCodeAndRemedy() {
    let error = RetortError(
      .malformedFile, "the key is missing", file: "m.gguf", field: "general.architecture",
      position: "byte 24", remedy: "Fetch it again.")
    #expect(
      error.description
        == "m.gguf, field general.architecture, byte 24: the key is missing [malformed-file]\n  Fetch it again."
    )
  }

  @Test func descriptionLeavesOutWhatIsUnknown() {
    let error = RetortError(.noDevice, "no device", remedy: "Install one.")
    #expect(error.description == "no device [no-device]\n  Install one.")
    let placed = RetortError(.malformedRow, "no query", position: "line 7", remedy: "Add it.")
    #expect(placed.description == "line 7: no query [malformed-row]\n  Add it.")
  }

  @Test func namingAFileKeepsOneThatIsAlreadyNamed() {
    let error = RetortError(.malformedFile, "bad", field: "x", remedy: "Mend it.")
    #expect(error.naming(file: "a").file == "a")
    #expect(error.naming(file: "a").naming(file: "b") == error.naming(file: "a"))
  }

  @Test func everyCodeHasItsOwnPrintedName() {
    #expect(Set(RetortError.Code.allCases.map(\.rawValue)).count == RetortError.Code.allCases.count)
  }

  @Test func anOutputNeverTakesTheNameOfADeviceOrFolder() {
    for path in ["/dev/null", NSTemporaryDirectory()] {
      let error = #expect(throws: RetortError.self) { _ = try AtomicFile(path: path) }
      #expect(error?.code == .fileUnavailable)
    }
  }
}
