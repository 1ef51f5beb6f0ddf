import Basics
import Distillation
import ModelFormats
import Relevance
import Testing

@Suite struct TeacherCalibrationTests {
  @Test(arguments: StudentKind.allCases)
  func calibratedTeacherAgreesWithPeopleOnTheWhole(kind: StudentKind) throws {
    let tiny = try TinyRun()
    var settings = tiny.settings(kind)
    let raw = try tiny.run(settings)
    settings.calibratesTeacher = true
    let run = try tiny.run(settings)
    let fit = try #require(run.settings.teacherCalibration)
    #expect(raw.settings.teacherCalibration == nil && raw.data.calibration == nil)
    #expect(fit.pairs == 20 && fit.logLossAfter < fit.logLossBefore)
    let both = run.data.rows.filter { $0.label != nil && $0.teacher != nil }
    // At the minimum the mean distribution is the labels' own but for the penalty on the biases, 0.1 of 20 pairs each.
    let count = Double(both.count)
    for label in LabelSet.standard.names.indices {
      let share = Double(both.count { $0.label == label }) / count
      let probabilities = both.compactMap { $0.teacher?.probabilities[label] }
      let mean = probabilities.reduce(0, +) / count
      #expect(abs(share - mean) <= 0.1 * abs(fit.bias[label]) / 20 + 1e-6)
    }
    for (row, before) in zip(run.data.rows, raw.data.rows) {
      #expect(row.teacher?.verdicts == before.teacher?.verdicts && row.label == before.label)
      let sum = row.teacher?.probabilities.reduce(0, +)
      #expect(sum.map { abs($0 - 1) < 1e-9 } ?? (before.teacher == nil))
    }
  }

  @Test func fewPairsWithBothAreRefused() throws {
    let tiny = try TinyRun()
    try tiny.write("few.jsonl", (0..<19).map { TinyRun.record($0, "t") })
    var settings = tiny.settings(.interaction)
    settings.calibratesTeacher = true
    let few = retortError { _ = try tiny.run(settings, teacher: "few.jsonl") }
    #expect(few?.code == .invalidArgument && few?.field == "calibrate-teacher")
    #expect(few?.message.hasPrefix("19 pairs") == true)
    settings.losses = [LossTerm.hard.rawValue]
    let none = retortError { _ = try tiny.run(settings, teacher: nil) }
    #expect(none?.code == .invalidArgument && none?.field == "calibrate-teacher")
  }

  @Test func resumedRunMustCalibrateAlike() throws {
    let tiny = try TinyRun()
    var settings = tiny.settings(.interaction)
    try tiny.train(tiny.run(settings), until: 2)
    settings.calibratesTeacher = true
    let error = retortError { try tiny.train(tiny.run(settings), resumes: true) }
    #expect(error?.code == .jobConflict)
  }
}
