import Basics
import ModelFormats
import Relevance

/// A grid of trainings, as its JSON file describes it: students, losses, seeds, and what all of them share.
public struct AblationConfiguration: Sendable, Equatable {
  public static let defaultLosses: [[LossTerm]] = [
    [.hard], [.hard, .score], [.hard, .reasoning], [.hard, .score, .reasoning],
  ]

  public var train: [String] = []
  public var dev = ""
  /// The folder that a folder a cell and the table go to.
  public var output = ""
  /// The folder of the encoder that every student begins with, or its name.
  public var initial = ""
  public var teacher: String?
  /// The teacher's records of the held-out pairs, to set beside the students.
  public var teacherDev: String?
  public var labels: String?
  public var students = StudentKind.allCases
  /// A row of the table each; terms in the order of `LossTerm.allCases`.
  public var losses = AblationConfiguration.defaultLosses
  public var seeds: [UInt64] = [1]
  /// What the cells share; student, losses and seed are the cell's.
  public var shared = DistillationSettings()
  public var checkpointSeconds = 300.0
  public var resamples = 1000

  public init() {}

  /// One training of the grid.
  public struct Cell: Sendable, Hashable {
    public let student: StudentKind
    public let losses: [LossTerm]
    public let seed: UInt64

    /// The folder's name, `interaction-hard+score-seed1`.
    public var name: String { "\(student.rawValue)-\(AblationConfiguration.name(losses))-seed\(seed)" }
  }

  /// Whether any of the terms reads a teacher's records.
  static func needsTeacher(_ losses: [LossTerm]) -> Bool { losses.contains(where: \.needsTeacher) }

  /// `hard+score`.
  public static func name(_ losses: [LossTerm]) -> String {
    losses.map(\.rawValue).joined(separator: "+")
  }

  /// Every training, students first, seeds last.
  public var cells: [Cell] {
    students.flatMap { student in
      losses.flatMap { losses in seeds.map { Cell(student: student, losses: losses, seed: $0) } }
    }
  }

  /// The shared settings with the cell's student, losses and seed.
  public func settings(_ cell: Cell) -> DistillationSettings {
    var settings = shared
    settings.student = cell.student
    settings.losses = cell.losses.map(\.rawValue)
    settings.seed = cell.seed
    settings.baseModel = initial
    // Such a cell reads no records.
    if !Self.needsTeacher(cell.losses) { settings.calibratesTeacher = false }
    return settings
  }

  /// Where the cell's student goes.
  public func folder(_ cell: Cell) -> String { output + "/" + cell.name }

  /// What a cell reads; without a counted term of the teacher's, its records are left out.
  public func files(_ cell: Cell, initial: String) -> DistillationRun.Files {
    DistillationRun.Files(
      initial: initial, train: train, teacher: Self.needsTeacher(cell.losses) ? teacher : nil,
      dev: dev)
  }
}
