// What the tool writes about pictures, and how much of it a file already has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "json.hpp"
#include "retinaface/face.hpp"
#include "retinaface/span.hpp"

namespace cli {

/// json: a line a picture. csv: kCsvHeader, then a row a face, one row where there is none, RFC 4180 but for line ends.
enum class RecordFormat { text, json, csv };

constexpr const char* kCsvHeader =
    "file,width,height,faces,face,score,x1,y1,x2,y2,left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x,nose_y,"
    "left_mouth_x,left_mouth_y,right_mouth_x,right_mouth_y,rotation,error";

/// How a file of records begins; of an empty one too.
std::string first_of(RecordFormat format);

/// What a record says about a picture beside its faces.
struct PictureFacts {
    int width = 0;  ///< of the picture in the file, upright
    int height = 0;
    int rotation = 0;     ///< degrees clockwise that it was turned on top of what its EXIF says
    std::string warning;  ///< about a file that was read although something is wrong with it
};

/// Adds them to a line of JSON, around the faces.
void add_facts(Json& line, const PictureFacts& facts, Json faces);

/// What a record says about a face beside what the detector does; a table has no column for it.
struct FaceNote {
    Json json;  ///< members
    std::string text;
};

/// The record of a picture, without the end of its last line. `notes`: none, or one a face.
std::string record(RecordFormat format, const std::string& name, const PictureFacts& facts,
                   retinaface::Span<const retinaface::Face> faces, const std::vector<FaceNote>& notes = {});

/// The record of a picture that could not be read; empty as text, where standard error says it.
std::string error_record(RecordFormat format, const std::string& name, const std::string& error);

/// The whole records at the start of a file.
struct ExistingRecords {
    std::uint64_t bytes = 0;          ///< their length
    std::vector<std::string> found;   ///< names of the pictures that were read, in order
    std::vector<std::string> failed;  ///< and of those that were not
    std::vector<std::string> files;   ///< that were written for faces: `crop`, `obj`, `ply`
};

/// Reads what an interrupted run left; a file that is not there has none. A record that is torn, at the end, is not counted. Throws
/// retinaface::Error (io, bad_format): also for a record in the middle that is none.
ExistingRecords read_records(RecordFormat format, const std::string& path);

}  // namespace cli
