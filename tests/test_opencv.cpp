// cv::Mat in, without a copy: the faces of the same pixels in plain memory; regions, steps, channels; what is refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <vector>

#include "images.hpp"
#include "retinaface.hpp"
#include "retinaface/opencv.hpp"
#include "weights_files.hpp"

using namespace retinaface;
using namespace retinaface_test;

namespace {

cv::Mat noise(int rows, int cols, int type) {
    cv::Mat mat(rows, cols, type);
    cv::theRNG().state = 7;
    cv::randu(mat, 0, 256);
    return mat;
}

bool same(const std::vector<Face>& a, const std::vector<Face>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Face& x, const Face& y) {
        return x.score == y.score && x.box.x1 == y.box.x1 && x.box.y2 == y.box.y2 && x.landmarks[4].y == y.landmarks[4].y;
    });
}

}  // namespace

TEST_CASE("a region of interest is the view of its pixels") {
    Options options;
    options.score_threshold = 0.3f;
    const Detector detector{seeded_weights(), options};
    for (const int type : {CV_8UC1, CV_8UC3, CV_8UC4}) {
        CAPTURE(type);
        const cv::Mat whole = noise(90, 120, type), region = whole(cv::Rect(17, 5, 64, 48));
        const ImageView view = view_of(region);
        CHECK(view.data == region.data);
        CHECK(view.stride == static_cast<std::ptrdiff_t>(whole.step[0]));
        const cv::Mat packed = region.clone();
        CHECK(packed.isContinuous());
        const std::vector<Face> found = detector.detect(view);
        CHECK(!found.empty());
        CHECK(same(found, detector.detect(view_of(packed))));
        const auto plain = [&](PixelFormat format) { return ImageView{packed.data, packed.cols, packed.rows, format}; };
        if (type == CV_8UC1) {
            CHECK(same(found, detector.detect(plain(PixelFormat::gray8))));
            continue;
        }
        CHECK(same(found, detector.detect(plain(type == CV_8UC3 ? PixelFormat::bgr8 : PixelFormat::bgra8))));
        CHECK(same(detector.detect(view_of(region, MatChannels::rgb)),
                   detector.detect(plain(type == CV_8UC3 ? PixelFormat::rgb8 : PixelFormat::rgba8))));
    }
}

TEST_CASE("matrices that are no pictures are refused by name") {
    const auto message = [](const cv::Mat& mat) -> std::string {
        try {
            view_of(mat);
        } catch (const Error& error) {
            return error.what();
        }
        return "";
    };
    CHECK(message(cv::Mat()) == "cv::Mat: the matrix is empty");
    CHECK(message(cv::Mat(4, 4, CV_32FC3)) == "cv::Mat: expected CV_8UC1, CV_8UC3 or CV_8UC4, found CV_32FC3");
    CHECK(message(cv::Mat(4, 4, CV_8UC2)) == "cv::Mat: expected CV_8UC1, CV_8UC3 or CV_8UC4, found CV_8UC2");
    CHECK(message(cv::Mat({2, 3, 4}, CV_8UC1)) == "cv::Mat: expected two dimensions, found 3");
}

TEST_CASE("crops and faces on their way back") {
    const cv::Mat rgb = noise(7, 5, CV_8UC3);
    const cv::Mat back = to_mat(view_of(rgb, MatChannels::rgb));
    REQUIRE(back.size() == rgb.size());
    for (int y = 0; y < 7; ++y)
        for (int x = 0; x < 5; ++x)
            for (int c = 0; c < 3; ++c) CHECK(back.at<cv::Vec3b>(y, x)[c] == rgb.at<cv::Vec3b>(y, x)[2 - c]);
    CHECK_THROWS_AS(to_mat(view_of(rgb)), Error);

    Face face;
    face.box = {1, 2, 11, 22};
    face.landmarks[3] = {4, 5};
    CHECK(to_rect(face.box) == cv::Rect2f(1, 2, 10, 20));
    CHECK(to_points(face)[3] == cv::Point2f(4, 5));
}
