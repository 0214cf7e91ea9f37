// OpenCV in and out: a cv::Mat is seen where it lies, with its step, regions of interest included. Needs OpenCV's core headers; nothing
// else of this library does.
#pragma once

#include <opencv2/core/mat.hpp>
#include <opencv2/core/types.hpp>
#include <string>
#include <vector>

#include "error.hpp"
#include "face.hpp"
#include "image.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Order of the channels of a cv::Mat of three or four: OpenCV's own functions make bgr.
enum class MatChannels { bgr, rgb };

/// The pixels of a matrix, without a copy: the matrix (or the one it is a region of) must outlive the view, and not be reallocated.
/// CV_8UC1 is grey, CV_8UC3 and CV_8UC4 are as `channels` says. Throws Error (invalid_argument): any other type, an empty matrix, one of
/// more than two dimensions.
inline ImageView view_of(const cv::Mat& image, MatChannels channels = MatChannels::bgr) {
    const auto fail = [](const std::string& what) { detail::raise(Error(ErrorCode::invalid_argument, "cv::Mat: " + what)); };
    if (image.dims > 2) fail("expected two dimensions, found " + std::to_string(image.dims));
    if (image.empty()) fail("the matrix is empty");
    const bool bgr = channels == MatChannels::bgr;
    PixelFormat format = PixelFormat::gray8;
    switch (image.type()) {
        case CV_8UC1: break;
        case CV_8UC3: format = bgr ? PixelFormat::bgr8 : PixelFormat::rgb8; break;
        case CV_8UC4: format = bgr ? PixelFormat::bgra8 : PixelFormat::rgba8; break;
        default: fail("expected CV_8UC1, CV_8UC3 or CV_8UC4, found " + cv::typeToString(image.type()));
    }
    // A single row may have any step.
    return {image.data, image.cols, image.rows, format, image.rows > 1 ? static_cast<std::ptrdiff_t>(image.step[0]) : 0};
}

/// An rgb8 image, as Aligner::crop() gives, as a matrix of its own with OpenCV's order of channels.
inline cv::Mat to_mat(const ImageView& image) {
    if (image.format != PixelFormat::rgb8)
        detail::raise(Error(ErrorCode::invalid_argument,
                            "cv::Mat: expected an rgb8 image, found format " + std::to_string(static_cast<int>(image.format))));
    validate(image);
    cv::Mat mat(image.height, image.width, CV_8UC3);
    for (int y = 0; y < image.height; ++y) {
        const std::uint8_t* from = image.row(y);
        std::uint8_t* to = mat.ptr<std::uint8_t>(y);
        for (int x = 0; x < image.width; ++x, from += 3, to += 3) to[0] = from[2], to[1] = from[1], to[2] = from[0];
    }
    return mat;
}

inline cv::Rect2f to_rect(const Box& box) { return {box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1}; }
inline cv::Point2f to_point(const Point& point) { return {point.x, point.y}; }
/// The five landmarks, in this library's order.
inline std::vector<cv::Point2f> to_points(const Face& face) {
    std::vector<cv::Point2f> points;
    points.reserve(face.landmarks.size());
    for (const Point& point : face.landmarks) points.push_back(to_point(point));
    return points;
}

RETINAFACE_END_NAMESPACE
